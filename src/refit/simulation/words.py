"""Words for distinguishable product names."""

from __future__ import annotations

CATEGORIES = (
    ("Lamps", "Lamp"),
    ("Mugs", "Mug"),
    ("Cushions", "Cushion"),
    ("Candles", "Candle"),
    ("Notebooks", "Notebook"),
    ("Clocks", "Clock"),
    ("Baskets", "Basket"),
    ("Teapots", "Teapot"),
    ("Rugs", "Rug"),
    ("Vases", "Vase"),
    ("Backpacks", "Backpack"),
    ("Scarves", "Scarf"),
    ("Puzzles", "Puzzle"),
    ("Headphones", "Headphone Set"),
    ("Chairs", "Chair"),
    ("Knives", "Knife"),
    ("Bowls", "Bowl"),
    ("Towels", "Towel"),
    ("Plant Pots", "Plant Pot"),
    ("Picture Frames", "Picture Frame"),
    ("Umbrellas", "Umbrella"),
    ("Mirrors", "Mirror"),
    ("Board Games", "Board Game"),
    ("Gloves", "Pair of Gloves"),
    ("Watches", "Watch"),
    ("Blankets", "Blanket"),
    ("Bottles", "Bottle"),
    ("Keyboards", "Keyboard"),
    ("Shelves", "Shelf"),
    ("Hats", "Hat"),
    ("Pencils", "Pencil Set"),
    ("Speakers", "Speaker"),
    ("Aprons", "Apron"),
    ("Tents", "Tent"),
    ("Tables", "Table"),
    ("Soaps", "Soap"),
    ("Cutting Boards", "Cutting Board"),
    ("Wallets", "Wallet"),
    ("Kettles", "Kettle"),
    ("Garden Tools", "Garden Tool"),
    ("Slippers", "Pair of Slippers"),
    ("Toy Trains", "Toy Train"),
    ("Posters", "Poster"),
    ("Curtains", "Curtain"),
    ("Bicycle Bells", "Bicycle Bell"),
    ("Cameras", "Camera"),
    ("Pans", "Pan"),
    ("Trays", "Tray"),
)
"""Name of a category, and of a product in it."""

ADJECTIVES = (
    "Quiet", "Bold", "Nordic", "Vintage", "Compact", "Classic", "Rustic", "Modern", "Cosy", "Bright",
    "Slim", "Sturdy", "Elegant", "Playful", "Misty", "Golden", "Midnight", "Coastal", "Alpine", "Sunny",
    "Velvety", "Humble", "Royal", "Wild",
)  # fmt: skip

MATERIALS = (
    "Oak", "Linen", "Copper", "Bamboo", "Wool", "Glass", "Steel", "Cork", "Marble", "Cotton",
    "Walnut", "Brass", "Clay", "Leather", "Felt", "Ash", "Slate", "Silk", "Birch", "Rattan",
)  # fmt: skip
