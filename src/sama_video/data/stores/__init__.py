"""Records by number: files of ours and data sets as they were published, read without being held."""
