"""Statistics over seeds and images, called by the API, the page, reports and benchmarks: pure, without a database."""
