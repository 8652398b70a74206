"""Every rule of OpenADR 2.0b for which there is evidence, and the test that holds the VTN to it."""
