"""What a user asks for: one function a command. The command line and the Python API call these."""
