"""Programs for those who work on the project or operate it; no part of the package."""
