"""Images and animations from trained generators."""
