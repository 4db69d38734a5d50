"""How a model is told of its tools, how the talk is put for it, and how its calls are read. (pure)"""
