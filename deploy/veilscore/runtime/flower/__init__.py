"""Everything that knows how the pinned Flower release works inside."""
