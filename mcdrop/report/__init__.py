"""How a report looks (`terminal`), where it goes (`files`), and whether it passes (`gates`)."""
