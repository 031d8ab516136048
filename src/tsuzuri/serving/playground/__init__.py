"""The web page: plain files without a build step, and the routes that serve them."""
