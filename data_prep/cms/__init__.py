"""CMS public use files and the OIG's list of exclusions: reading, building the provider table, generated files."""
