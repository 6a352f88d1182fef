"""How the gate gets on with other users of an account, on a virtual clock."""
