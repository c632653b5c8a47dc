"""Block maps as bmaptool writes them."""

import hashlib

BLOCK = 4096


def make(
    image: bytes, ranges: list[tuple[int, int]], *, version: str = "2.0", algorithm: str = "sha256", sums: bool = True
) -> bytes:
    """Return the map of *image* that lists *ranges* of blocks, the last one included."""
    old = version == "1.3"
    rows = []
    for first, last in ranges:
        digest = hashlib.new(algorithm, image[first * BLOCK : (last + 1) * BLOCK]).hexdigest()
        checksum = f' {"sha1" if old else "chksum"}="{digest}"' if sums else ""
        span = f"{first}" if first == last else f"{first}-{last}"
        rows.append(f"        <Range{checksum}> {span} </Range>")
    zeros = "0" * (hashlib.new(algorithm).digest_size * 2)
    own = "BmapFileSHA1" if old else "BmapFileChecksum"
    text = "\n".join(
        [
            '<?xml version="1.0" ?>',
            "<!-- This file contains the block map for an image file -->",
            f'<bmap version="{version}">',
            f"    <ImageSize> {len(image)} </ImageSize>",
            f"    <BlockSize> {BLOCK} </BlockSize>",
            f"    <BlocksCount> {-(-len(image) // BLOCK)} </BlocksCount>",
            "    <MappedBlocksCount> 0 </MappedBlocksCount>",
            *([] if old else [f"    <ChecksumType> {algorithm} </ChecksumType>"]),
            f"    <{own}> {zeros} </{own}>",
            "    <BlockMap>",
            *rows,
            "    </BlockMap>",
            "</bmap>",
            "",
        ]
    )
    return text.replace(zeros, hashlib.new(algorithm, text.encode()).hexdigest(), 1).encode()
