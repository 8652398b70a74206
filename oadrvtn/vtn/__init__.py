"""The rules of a VTN, the live state of its VENs, and Vtn, their asynchronous face."""
