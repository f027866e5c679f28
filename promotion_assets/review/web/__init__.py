"""The reviewers' page: rendered on the server, without JavaScript, nothing external."""
