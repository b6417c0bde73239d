"""Files, images and progress lines."""
