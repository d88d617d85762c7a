"""How options are declared, checked, turned into ml_collections and back."""
