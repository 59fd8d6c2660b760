"""The kinds of fault that other tools and earlier versions had, and the tests that keep them out.

Each row names what used to go wrong in silence, and the tests that try it with several inputs:
dimensions, formats, commands. A row whose test is renamed or gone fails here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TEST = Path(__file__).parent

KINDS = {
    "lengths: the same images in any unit give the same in voxels": [
        "registration/test_nothing_else_matters.py::test_lengths_in_another_unit_give_the_same_in_voxels",
        "spatial/test_units.py::test_jacobians_and_inverses_are_the_same_in_any_unit",
        "spatial/test_units.py::test_a_bspline_is_as_fine_in_any_unit",
    ],
    "a start that has no inverse": [
        "registration/test_checks.py::test_a_singular_initial_transform_is_refused",
    ],
    "a result that is worse than its start": [
        "alignment/test_alignment.py::test_an_image_stays_on_itself",
        "registration/test_lattice_objective.py::test_a_long_image_stays_on_itself",
        "registration/test_quality_check.py::"
        "test_a_result_worse_than_the_start_is_warned_of_where_it_was_asked_for",
        "registration/test_refinement.py::test_a_prediction_that_makes_things_worse_is_a_warning",
    ],
    "what lies outside masks": [
        "registration/test_nothing_else_matters.py::test_what_lies_outside_masks_changes_no_bit",
        "registration/test_nothing_else_matters.py::test_averaged_images_do_not_see_outside_either",
        "spatial/test_intensities.py::test_what_lies_outside_does_not_matter",
        "spatial/test_preparation.py::test_a_mask_that_is_not_finite_is_refused",
        "spatial/test_preparation.py::test_rounding_of_a_mask_is_no_fault",
    ],
    "images that lack their end": [
        "io/test_images.py::test_a_cut_file_is_refused",
        "io/test_images.py::test_voxels_that_are_text_are_counted",
        "io/test_images.py::test_padding_is_no_damage_and_other_bytes_are",
    ],
    "images with a flipped bit": [
        "io/test_images.py::test_one_flipped_bit_of_compressed_voxels_is_refused",
    ],
    "images whose header is crafted": [
        "io/test_images.py::test_crafted_headers_neither_crash_nor_mislead",
        "io/test_images.py::test_numbers_of_a_header_that_itk_would_replace_are_refused",
        "io/test_nifti_header.py::test_a_number_that_itk_would_take_a_default_for_is_refused",
    ],
    "meshes that are cut, crafted or not finite": [
        "io/test_meshes.py::test_a_cut_file_is_refused",
        "io/test_meshes.py::test_what_is_no_mesh_is_named",
    ],
    "models and checkpoints that are damaged": [
        "models/test_serialization.py::test_every_changed_byte_is_noticed",
        "models/test_serialization.py::test_settings_of_another_model_are_refused",
        "models/test_archive.py::test_every_damage_is_noticed",
    ],
    "a full disk": [
        "io/test_staging.py::test_a_full_disk_is_an_error_and_the_old_file_stays",
        "training/test_training.py::test_a_full_disk_is_an_error_that_names_the_folder",
    ],
    "inputs and files of others are replaced": [
        "cli/test_transform.py::test_an_output_that_is_an_input_or_a_folder_is_refused",
        "cli/test_register.py::test_results_replace_no_input",
        "io/test_staging.py::test_only_what_the_dead_have_left_is_cleared",
        "io/test_staging.py::test_what_a_killed_run_has_left_beside_its_new_folder_is_cleared",
        "workflows/test_batch.py::test_what_others_put_into_a_folder_stays",
    ],
    "a record that is empty after a power failure": [
        "workflows/test_batch.py::test_a_pair_whose_record_is_damaged_is_done_anew",
    ],
    "the checkpoint is gone before the results are there": [
        "registration/test_checkpoint.py::test_a_kept_checkpoint_gives_the_result_at_once",
    ],
    "SIGTERM": [
        "cli/test_app.py::test_sigterm_is_ctrl_c",
        "cli/test_interrupts.py::test_an_interrupt_that_libraries_ignore_comes_again",
        "cli/test_progress.py::test_a_lock_that_an_interrupt_has_left_does_not_keep_a_command",
    ],
    "the space of meshes": [
        "io/test_meshes.py::test_a_named_space_is_honored_and_kept",
        "io/test_meshes.py::test_the_space_of_gifti_is_that_of_nifti_but_where_itk_leaves_it_empty",
    ],
    "the space of points": [
        "io/test_tables.py::test_the_space_that_comments_name_is_honored_and_kept",
        "io/test_markups.py::test_positions_move_in_the_space_of_the_file_and_all_else_stays",
        "io/test_markups.py::test_what_was_measured_at_the_former_positions_is_left_out",
    ],
    "arrays, types and precision of meshes": [
        "io/test_meshes.py::test_arrays_keep_names_types_and_values",
        "io/test_meshes.py::test_double_points_keep_their_precision",
        "io/test_meshes.py::test_points_of_whole_numbers_are_not_rounded",
    ],
    "labels of 8 and 64 bits": [
        "cli/test_transform.py::test_labels_of_every_type_are_exact",
        "io/test_images.py::test_labels_of_64_bits_are_exact_or_refused",
    ],
    "labels that are not whole numbers": [
        "evaluation/test_metrics.py::test_dice_is_of_whole_numbers",
        "io/test_pair_files.py::test_labels_are_whole_numbers",
        "io/test_pair_table.py::test_labels_are_whole_numbers",
    ],
    "points in three dimensions beside images in two": [
        "io/test_pair_files.py::test_landmarks_in_three_dimensions_are_none_of_images_in_two",
    ],
    "colors, vectors and series": [
        "cli/test_transform.py::test_colors_and_vectors_are_resampled_component_by_component",
        "cli/test_transform.py::test_a_series_is_resampled_frame_by_frame",
    ],
    "columns that are there twice": [
        "io/test_tables.py::test_other_spaces_and_columns_that_are_there_twice_are_refused",
    ],
    "a forked process": [
        "fields/test_threads.py::test_a_fork_of_a_process_that_has_computed_computes_alone",
    ],
    "libraries that crash, hang or take all memory": [
        "io/test_child_process.py::test_whatever_becomes_of_the_child_is_a_sentence",
    ],
    "threads that read at once": [
        "io/test_child_process.py::test_threads_read_at_once_and_leave_the_standard_streams",
    ],
    "closed standard streams": [
        "cli/test_app.py::test_closed_standard_streams_change_no_file",
    ],
    "Dask without a scheduler or workers": [
        "workflows/test_parallel.py::test_no_scheduler_is_a_sentence",
        "workflows/test_parallel.py::test_a_scheduler_without_workers_is_a_sentence",
        "workflows/test_parallel.py::test_a_lost_scheduler_and_lost_workers_are_sentences",
    ],
    "images of two and three slices": [
        "registration/test_lattice_objective.py::test_few_slices_move_within_their_planes",
        "alignment/test_slabs.py::test_few_slices_are_aligned_within_their_planes",
        "losses/test_lattice.py::test_where_an_image_is_constant_there_is_no_contrast",
        "losses/test_lattice.py::test_compiled_correlation_is_that_of_torch",
    ],
    "voxels that are not finite": [
        "io/test_nifti_header.py::test_voxels_that_are_not_finite_are_not_taken_for_0",
        "spatial/test_preparation.py::test_voxels_that_are_not_finite_are_refused",
    ],
    "images without contrast": [
        "spatial/test_preparation.py::test_a_constant_image_is_refused",
        "spatial/test_preparation.py::test_rounding_is_no_contrast",
        "registration/test_sampler.py::"
        "test_images_without_contrast_where_they_are_compared_are_refused",
        "alignment/test_alignment.py::test_images_with_nothing_in_common_are_doubted",
    ],
    "extreme intensities and hot voxels": [
        "registration/test_nothing_else_matters.py::test_extreme_intensities_move_as_usual_ones",
        "registration/test_nothing_else_matters.py::test_hot_voxels_do_not_hide_the_image",
        "alignment/test_alignment.py::test_hot_voxels_do_not_hide_the_image",
        "spatial/test_intensities.py::test_isolated_hot_voxels_are_brought_to_the_end_of_the_range",
        "spatial/test_intensities.py::test_extreme_intensities_keep_their_contrast",
    ],
    "voxels that rounding puts outside": [
        "fields/test_sampled_image.py::test_all_voxels_of_an_image_lie_in_it",
        "io/test_pair_table.py::test_the_outermost_voxels_hold_landmarks",
    ],
    "elastix files out of bounds": [
        "registration/test_elastix_parameters.py::test_numbers_out_of_bounds_are_a_sentence",
    ],
    "displacement fields as transforms": [
        "io/test_transforms.py::test_a_field_is_read_as_a_transform",
    ],
    "DICOM folders": [
        "io/test_images.py::test_a_folder_is_its_one_series_or_the_one_that_is_chosen",
        "io/test_dicom.py::test_tags_that_do_not_fit_the_pixels_are_refused",
        "io/test_dicom.py::test_missing_and_doubled_slices_are_refused_in_plain_words",
    ],
    "suffixes in upper case": [
        "io/test_images.py::test_suffixes_in_upper_case_are_written_and_read",
    ],
    "points and meshes of other programs": [
        "io/test_meshes.py::test_what_is_no_mesh_is_named",
        "cli/test_transform.py::test_bad_points_are_refused",
        "cli/test_register.py::test_bad_landmarks_are_refused",
    ],
    "axes that are sheared": ["io/test_images.py::test_sheared_axes_are_refused_with_a_way_out"],
    "messages that do not show the difference": [
        "spatial/test_preparation.py::test_a_mask_on_another_grid_is_refused",
        "spatial/test_domain.py::test_what_differs_is_named_with_enough_digits",
    ],
    "names of pairs that are no names of folders": [
        "io/test_pair_table.py::test_names_that_are_no_names_of_folders_are_refused",
    ],
    "the first contact": [
        "cli/test_app.py::test_versions_are_shown",
        "cli/test_app.py::test_the_package_is_run_as_the_command",
        "test_extras.py::test_what_is_missing_of_itk_is_told",
        "test_packaging.py::test_an_editable_install_is_refused",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_tests(kind: str) -> None:
    for name in KINDS[kind]:
        file, _, test = name.partition("::")
        tree = ast.parse((TEST / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
