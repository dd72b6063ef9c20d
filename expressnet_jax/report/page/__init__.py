"""The HTML page of a report: one file without an external address, made from the report's JSON alone."""
