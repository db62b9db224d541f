"""Results for people: ``report.html``, and tables for a terminal."""
