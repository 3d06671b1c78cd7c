"""From published data sets and other tools' annotations to records."""
