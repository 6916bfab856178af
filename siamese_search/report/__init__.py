"""What was found, shown: JSON and CSV for scripts, HTML pages and contact sheets for people."""
