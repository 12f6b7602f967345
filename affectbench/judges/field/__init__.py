"""Published networks of the field: HSEmotion and EmotiEffLib, whose weights do not ship.

`files` lists what is published and says what each takes and gives, `locate` finds or downloads it,
`hsemotion` and `emotieff` read it; `archive` and `inert` read pickled files without running
anything in them.
"""
