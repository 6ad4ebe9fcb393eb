"""Where rows come from, who owns them, and how they are split and balanced; the schema is ``client_code.schema``."""
