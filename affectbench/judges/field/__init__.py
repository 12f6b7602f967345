"""The judges that the field itself uses: HSEmotion and EmotiEffLib, whose weights do not ship.

`catalogue` lists the files and says what each takes and gives, `locate` finds or downloads them,
`archive` and `inert` read pickled ones without running anything, `hsemotion` and `emotieff` make
judges of them.
"""
