//! What the program's own clients share: sessions with a relay, the interactive client.
