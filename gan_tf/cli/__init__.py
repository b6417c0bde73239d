"""The `gan-tf` commands, one module each."""
