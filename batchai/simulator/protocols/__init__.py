"""The wire formats that the simulator speaks."""
