// Made by the update; the next one makes it anew.
include "acquit.yar"
