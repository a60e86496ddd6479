"""How our processes run on a host: configuration, supervision, wires, pages."""
