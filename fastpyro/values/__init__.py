"""Which classes may travel, and as what. Knows no bytes."""
