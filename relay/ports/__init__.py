"""What a plugin of each kind must offer: Protocols, and the values that cross them."""
