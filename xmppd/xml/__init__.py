"""XML for streams, sans-IO: elements, an incremental parser, a writer. Nothing here knows a socket."""
