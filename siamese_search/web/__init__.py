"""Pages in the browser and an API over HTTP: search, duplicates, review, jobs, around one gallery."""
