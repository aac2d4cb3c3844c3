"""What scripts/docs is made of: the page of settings, the pages that are gathered, their links."""
