"""Bytes to messages and back: parser, codec, bends and envelope."""

from .envelope import Envelope, Undecodable, decode, encode

__all__ = ["Envelope", "Undecodable", "decode", "encode"]
