"""Two large face datasets, read from files downloaded by the user."""
