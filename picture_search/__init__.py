"""The installed command `picture-search`; a wheel has the whole program in this package."""
