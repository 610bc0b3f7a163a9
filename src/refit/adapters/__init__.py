"""Adapters: the only modules that know a vendor; they implement `refit.interfaces` and `refit.storage`."""
