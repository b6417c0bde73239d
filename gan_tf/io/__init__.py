"""Reading and writing of files: atomic writes, locks, npz, PNG, progress lines."""
