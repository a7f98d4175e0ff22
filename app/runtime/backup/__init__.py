"""Backups: the database and the uploaded files in a folder, and a service made of them again."""
