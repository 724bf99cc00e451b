"""What is looked at when an administrator asks whether all is well; one kind of thing a file."""
