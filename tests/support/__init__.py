"""What tests share: installations, local APIs that behave like real ones, and what is between them."""
