"""The test bed: real servers, started and stopped by the tests and by the demo."""
