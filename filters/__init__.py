"""Pure measures over Arrow columns; imports no Beam."""
