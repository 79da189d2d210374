"""A document for tests that need some network and do not care which."""

NETWORK = {"private_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "address": ["10.0.0.1/16"]}
ONE = {"51820": NETWORK}
