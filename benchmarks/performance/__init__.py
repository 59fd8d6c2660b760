"""Studies of speed, memory and build time, in ratio to a peer of the same run."""
