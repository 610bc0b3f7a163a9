"""What the tests of formats share."""

from support.any_format import make_shop as make_shop
