"""What both facades need."""
