"""What registrations, predictions and transforms cost and are worth, study by study."""
