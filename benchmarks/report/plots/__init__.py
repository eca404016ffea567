"""The report's pictures: panels drawn as SVG from a document's figures."""
