"""AWS Organizations and the contacts of its accounts."""
