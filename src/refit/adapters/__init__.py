"""Adapters: the only modules that know a vendor; each answers an interface of `refit.interfaces` or `refit.storage`."""
