/** The two symbol hash functions of a dynamic loader, over ASCII names. */

/** The hash of DT_HASH and of version names: gABI chapter 5, "Hash Table". */
export const sysvHash = (name: string): number => {
	let hash = 0;
	for (let index = 0; index < name.length; index++) {
		hash = ((hash << 4) + name.charCodeAt(index)) >>> 0;
		const high = hash & 0xf0000000;
		hash = (hash ^ (high >>> 24)) & ~high;
	}
	return hash >>> 0;
};

/** The hash of DT_GNU_HASH: Bernstein's, h * 33 + c from 5381 (glibc elf/dl-lookup.c, 2.36). */
export const gnuHash = (name: string): number => {
	let hash = 5381;
	for (let index = 0; index < name.length; index++) hash = (Math.imul(hash, 33) + name.charCodeAt(index)) >>> 0;
	return hash;
};
